/** Starts the root workflow of an experiment once: a second start attaches to the first. */
import { WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { stringify } from 'yaml';
import { BackspinError } from '../schemas/errors.ts';
import { queues, searchAttributes, workflowId } from '../schemas/names.ts';
import type { ExperimentInput } from '../schemas/messages.ts';
import type { Experiment } from './config.ts';
import { connect } from '../host/connect.ts';

type Name = keyof typeof searchAttributes;
const attribute = (name: Name, value: string) => ({ key: defineSearchAttributeKey(name, 'KEYWORD'), value });

/** The start options of the root workflow, with search attributes and a summary for the Temporal UI. */
export function startOptions(input: ExperimentInput) {
  const { store, config } = input;
  const { name, recipe, seed, parameters, data, models } = config;
  return {
    workflowId: workflowId.experiment(store, name),
    taskQueue: queues.orchestrator(store),
    args: [input] as [ExperimentInput],
    workflowIdConflictPolicy: 'USE_EXISTING' as const,
    staticSummary: `${recipe}: ${name}`.slice(0, 200),
    staticDetails: `\`\`\`yaml\n${stringify({ recipe, seed, parameters, data, models }).slice(0, 18_000)}\`\`\``,
    typedSearchAttributes: [
      attribute('BackspinExperiment', name),
      attribute('BackspinRecipe', recipe),
      attribute('BackspinState', 'running'),
    ],
    priority: { fairnessKey: name.slice(0, 64) },
  };
}

/** Writes to the store around a start. */
export interface Writes {
  /** Before the workflow runs: afterwards it writes its own record. */
  readonly begin: () => Promise<void>;
  /** After a failed start. */
  readonly undo: () => Promise<void>;
}

/** Returns a sentence about the result. */
export async function startExperiment(
  store: string,
  { bound, digest }: Experiment,
  origin: Pick<ExperimentInput, 'parent' | 'pins'>,
  { begin, undo }: Writes,
): Promise<string> {
  const temporal = await connect();
  const options = startOptions({ store, config: bound, configDigest: digest, ...origin });
  try {
    if (await isOpen(temporal.client, options.workflowId)) return `${bound.name} is running already; attached to it.`;
    await begin();
    await temporal.client.workflow.start('experiment', options);
    return `${bound.name} is launched.`;
  } catch (error) {
    if (!(await isOpen(temporal.client, options.workflowId).catch(() => true))) await undo();
    if (/no mapping defined for search attribute/i.test((error as Error).message + String((error as { cause?: Error }).cause?.message))) {
      throw new BackspinError(
        'SearchAttribute',
        `The Temporal server at ${temporal.address} lacks backspin's search attributes: \`backspin doctor\` names them and how to add them.`,
      );
    }
    throw error;
  } finally {
    await temporal.close();
  }
}

async function isOpen(client: import('@temporalio/client').Client, id: string): Promise<boolean> {
  try {
    return (await client.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
