/** A collector of OpenTelemetry spans: what workers post to `/v1/traces`, as OTLP in JSON. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number>>;
}

type Attribute = { readonly key: string; readonly value: Readonly<Record<string, string | number>> };
type Sent = Omit<Span, 'start' | 'end' | 'attributes'> & {
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
};
interface Posted {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Sent[] }[] }[];
}

export class Collector {
  readonly spans: Span[] = [];
  readonly #server = createServer((request, response) => {
    void json(request).then((body) => {
      const all = (body as Posted).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
      if (request.url === '/v1/traces') this.spans.push(...all.map(read));
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });

  /** Returns its address. */
  async listen(): Promise<string> {
    await new Promise<void>((done) => void this.#server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const read = ({ startTimeUnixNano, endTimeUnixNano, attributes, ...span }: Sent): Span => ({
  ...span,
  start: Number(startTimeUnixNano) / 1e6,
  end: Number(endTimeUnixNano) / 1e6,
  attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]!])),
});
