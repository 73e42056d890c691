/** Identity and clients of external models. */
import type { ExternalServer, ExternalServers } from '../inference/servers.ts';
import type { ModelRef } from '../schemas/call.ts';
import { declared, type DeclaredModel } from '../recipe/inputs.ts';
import type { External } from '../schemas/external.ts';
import { canonicalJson, sha256 } from '../schemas/canonical.ts';
import { modelDigest } from '../store/models.ts';
import type { Resolved } from './resolved.ts';
import type { Services } from './services.ts';
import type { StepContext, HeldState } from '../schemas/steps.ts';
import { noModels, type Models } from './models.ts';

export const FILE = 'external.json';
export const declaration = (model: DeclaredModel) => canonicalJson(declared(model));

/** Digest of the declaration. It does not depend on the address, and needs no request. */
export const externalDigest = (model: DeclaredModel): string => modelDigest([{ name: FILE, sha256: sha256(declaration(model)) }], null);

/** The declaration of an external model; undefined for a model in the store. */
export const externalOf = ({ external }: Pick<StepContext, 'external'>, { digest }: ModelRef): External | undefined =>
  external.find((model) => externalDigest(model) === digest);

/** The models of a step that are in the store. */
export const ownOf = (context: Pick<StepContext, 'external'>, cast: Resolved['cast']): Resolved['cast'] =>
  Object.fromEntries(Object.entries(cast).filter(([, model]) => !externalOf(context, model)));

/** Why an external model cannot be used as `wanted`; undefined for a model in the store. */
export function lacksWeights(context: Pick<StepContext, 'external'>, model: ModelRef, wanted: string): string | undefined {
  const external = externalOf(context, model);
  return external && `the model ${external.model} is external: its weights are not here, so it cannot be ${wanted}.`;
}

export interface ConnectedModel extends ExternalServer {
  readonly external: External;
  /** Name at the server. */
  readonly served: string;
}
export const connectTo = (servers: ExternalServers, external: External): ConnectedModel => ({
  external,
  served: external.model,
  ...servers.of(external),
});

/** The external models of a step, by role. */
export function externalsOf({ servers }: Services, cast: Resolved['cast'], context: StepContext): ReadonlyMap<string, ConnectedModel> {
  const roles = new Map<string, ConnectedModel>();
  for (const [role, model] of Object.entries(cast)) {
    const external = externalOf(context, model);
    if (external) roles.set(role, connectTo(servers, external));
  }
  return roles;
}

/** Combines the external models with the step's own. */
export const withOwn = (externals: ReadonlyMap<string, ConnectedModel>, own: Models = noModels): Models =>
  externals.size === 0
    ? own
    : {
        of: (role) => externals.get(role) ?? own.of(role),
        concurrency: Math.max(own.concurrency, ...[...externals.values()].map(({ limiter }) => limiter.limit)),
        serverStatus: () => serverStatus(externals.values()),
      };

/** Status of these servers for heartbeats. */
export function serverStatus(models: Iterable<ConnectedModel>): object {
  const servers = [...models].map(({ external: { url }, limiter }) => ({ url, ...limiter.pace }));
  for (const { url, held } of servers)
    if (held) return { state: 'held', url, why: held.why.slice(0, 500), since: held.since } satisfies HeldState;
  return { state: 'asking', servers: servers.map(({ url, inFlight, limit }) => ({ url, inFlight, limit })) };
}
