/** `backspin cancel NAME`: asks an experiment to end; what it finished stays in the store. */
import { connect } from './connect.ts';
import { sentence } from './control.ts';
import { experimentOf, openHome } from './home-store.ts';

export async function run(name: string): Promise<void> {
  const { workflowId } = await experimentOf(await openHome(), name);
  const temporal = await connect();
  try {
    await temporal.client.workflow.getHandle(workflowId).cancel();
  } catch (error) {
    throw sentence(error, name, temporal);
  } finally {
    await temporal.close();
  }
  console.log(
    `${name} is being cancelled: \`backspin status ${name}\` shows when it has ended. Launching it again takes what it finished from the store.`,
  );
}
