/** How the models of a step are reached. */
import type { ModelClient } from '../inference/client.ts';

/** `alive` tells a request that fails by itself from a server that answers nobody. */
export type Client = Pick<ModelClient, 'chat' | 'complete' | 'score'> & Partial<Pick<ModelClient, 'alive'>>;

/** How an operator reaches its models: a client and the name a role's model is served under. */
export interface Models {
  of(role: string): { readonly client: Client; readonly served: string };
  /** Records of one step that flow at once. */
  readonly concurrency: number;
  /** How it goes with their servers, for heartbeats. */
  serverStatus?(): object;
}
export const noModels: Models = {
  of: (role) => {
    throw new Error(`no model is cast in the role "${role}"`);
  },
  concurrency: 16,
};
