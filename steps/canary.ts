/** Checks that an external server still answers like the imported model: at import, and before the first record of every step. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canaryDifference, askCanary } from '../inference/canary.ts';
import { checkCapabilities } from '../inference/capability.ts';
import { Rejected } from '../inference/client.ts';
import type { DeclaredModel } from '../recipe/inputs.ts';
import type { Registry } from './registry.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Output } from '../schemas/store.ts';
import { outputOf } from './commit.ts';
import { wantedCapabilities } from './evaluate.ts';
import { declaration, externalDigest, externalOf, externalsOf, FILE, connectTo, serverStatus } from './external.ts';
import { importedDefaults } from './import-model.ts';
import type { Resolved } from './resolved.ts';
import type { Services, ActivityHandle } from './services.ts';
import type { StepContext } from '../schemas/steps.ts';

/** Stores an external model: its declaration and its canary. */
export async function importExternal(
  services: Services,
  resolved: Resolved,
  context: StepContext,
  { signal, heartbeat }: ActivityHandle,
): Promise<Output> {
  const { store, servers } = services;
  const started = performance.now();
  const digest = externalDigest(resolved.call.inputs as unknown as DeclaredModel);
  const external = externalOf(context, { kind: 'model', digest })!;
  const model = connectTo(servers, external);
  const { client } = model;
  heartbeat(() => serverStatus([model]));
  const canary = await attributeErrors(`Step ${resolved.call.path}`, async () => {
    await checkCapabilities(client, external.model, { capabilities: ['chat'], samplings: [] }, signal);
    return askCanary(client, external.model, signal);
  });
  const folder = join(store.work(resolved.stepKey), 'model');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, FILE), declaration(external));
  const result = await store.putModel(folder, { ...importedDefaults, state: 'external', canary, determinism: 'sampled' });
  await store.clearWork(resolved.stepKey);
  const seconds = (performance.now() - started) / 1000;
  const counts = { in: 0, kept: 0, dropped: {}, requests: canary.length, tokens: 0, seconds };
  return store.putOutput(outputOf(resolved, result, counts, null, 'exact'));
}

/** Checks that the external models of a step have the capabilities it needs and have not changed since their import. Throws
 *  `CapabilityMissing` or `ModelChanged`, with step and role. */
export async function checkExternals(
  services: Services,
  resolved: Resolved,
  registry: Registry,
  context: StepContext,
  { signal, heartbeat }: ActivityHandle,
): Promise<void> {
  const externals = externalsOf(services, resolved.cast, context);
  heartbeat(() => serverStatus(externals.values()));
  for (const [role, { client, external }] of externals) {
    const where = `Step ${resolved.call.path}, role "${role}"`;
    const { model, revision, url, tolerance } = external;
    const { canary = [] } = await services.store.model({ digest: externalDigest(external) });
    const questions = canary.map(({ question }) => question);
    const now = await attributeErrors(where, async () => {
      await checkCapabilities(client, model, wantedCapabilities(resolved, registry, [role]), signal);
      return askCanary(client, model, signal, questions);
    });
    const share = canaryDifference(canary, now);
    if (share > tolerance)
      throw new BackspinError(
        'ModelChanged',
        `${where}: ${url} does not answer as ${model} of revision ${revision} did when it was first met: ${percent(share)} of its canary's text differs, and ${percent(tolerance)} may. Declare another \`revision\` if the model has changed, or a larger \`tolerance\` if it has not.`,
      );
  }
}
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** If a server refuses a check or a canary, no record is at fault: the server lacks a capability. */
async function attributeErrors<T>(where: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof Rejected || (error instanceof BackspinError && error.type === 'CapabilityMissing'))
      throw new BackspinError('CapabilityMissing', `${where}: ${error.message}`, { cause: error });
    throw error;
  }
}
