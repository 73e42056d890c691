/** The interface between operators and the clients of their models. */
import type { ModelClient } from '../inference/client.ts';

/** `alive` distinguishes a request that fails alone from a server that answers nothing. */
export type Client = Pick<ModelClient, 'chat' | 'complete' | 'score'> & Partial<Pick<ModelClient, 'alive'>>;

/** The models of a step: a client and a served name for each role. */
export interface Models {
  of(role: string): { readonly client: Client; readonly served: string };
  /** Records of one step in flight. */
  readonly concurrency: number;
  /** Status of the servers, for heartbeats. */
  serverStatus?(): object;
}
export const noModels: Models = {
  of: (role) => {
    throw new Error(`no model is cast in the role "${role}"`);
  },
  concurrency: 16,
};
