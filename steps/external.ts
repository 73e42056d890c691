/** Models that somebody else serves: who they are, and how a step reaches them. */
import type { Server, Servers } from '../inference/servers.ts';
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

/** Of what is declared: the same at every address, and known before anybody is asked. */
export const externalDigest = (model: DeclaredModel): string => modelDigest([{ name: FILE, sha256: sha256(declaration(model)) }], null);

/** What the experiment says of an external model; undefined for one whose weights are in the store. */
export const externalOf = ({ external }: Pick<StepContext, 'external'>, { digest }: ModelRef): External | undefined =>
  external.find((model) => externalDigest(model) === digest);

/** The models of a step whose weights are in the store. */
export const ownOf = (context: Pick<StepContext, 'external'>, cast: Resolved['cast']): Resolved['cast'] =>
  Object.fromEntries(Object.entries(cast).filter(([, model]) => !externalOf(context, model)));

/** Why a model cannot be `wanted`; undefined for one whose weights are in the store. */
export function lacksWeights(context: Pick<StepContext, 'external'>, model: ModelRef, wanted: string): string | undefined {
  const external = externalOf(context, model);
  return external && `the model ${external.model} is external: its weights are not here, so it cannot be ${wanted}.`;
}

export interface ConnectedModel extends Server {
  readonly external: External;
  /** Its name at the server. */
  readonly served: string;
}
export const connectTo = (servers: Servers, external: External): ConnectedModel => ({
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

/** Those, and a step's own models. */
export const withOwn = (externals: ReadonlyMap<string, ConnectedModel>, own: Models = noModels): Models =>
  externals.size === 0
    ? own
    : {
        of: (role) => externals.get(role) ?? own.of(role),
        concurrency: Math.max(own.concurrency, ...[...externals.values()].map(({ limiter }) => limiter.limit)),
        serverStatus: () => serverStatus(externals.values()),
      };

/** How it goes with these servers. */
export function serverStatus(asked: Iterable<ConnectedModel>): object {
  const servers = [...asked].map(({ external: { url }, limiter }) => ({ url, ...limiter.pace }));
  for (const { url, held } of servers)
    if (held) return { state: 'held', url, why: held.why.slice(0, 500), since: held.since } satisfies HeldState;
  return { state: 'asking', servers: servers.map(({ url, inFlight, limit }) => ({ url, inFlight, limit })) };
}
