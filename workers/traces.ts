/** Sends spans to the collector that OpenTelemetry's own variables name. Hosts share no state for it: the ids of a step's span follow from the
 *  step, so that an activity on any host can be its child. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace, type Attributes, type Context, type Span } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, RandomIdGenerator, type IdGenerator } from '@opentelemetry/sdk-trace-base';
import { sha256 } from '../schemas/canonical.ts';
import type { TracedActivity, Traces } from '../schemas/traces.ts';

/** Milliseconds for the last spans of a worker that ends. */
const FLUSHED_WITHIN = 5_000;

export interface Tracing extends Traces {
  /** Sends the spans that have ended. */
  close(): Promise<void>;
}

export function openTracing(): Tracing {
  const ids = new StepIds();
  const own = resourceFromAttributes({ 'service.name': 'backspin', 'host.name': hostname(), 'process.pid': process.pid });
  const resource = own.merge(detectResources({ detectors: [envDetector] }));
  const provider = new BasicTracerProvider({
    resource,
    idGenerator: ids,
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer('backspin');
  const active = new AsyncLocalStorage<Context>();
  return {
    async activity(of, body) {
      const root = idsOf(of);
      const step = trace.setSpanContext(ROOT_CONTEXT, { ...root, traceFlags: TraceFlags.SAMPLED, isRemote: true });
      const name = of.batch === undefined ? of.type : `${of.type} ${of.batch}`;
      const about = { ...aboutStep(of), 'backspin.attempt': of.attempt, ...(of.batch !== undefined && { 'backspin.batch': of.batch }) };
      const span = tracer.startSpan(name, { attributes: about }, step);
      const result = await active.run(trace.setSpan(step, span), () => ended(span, body));
      if (of.ends(result))
        ids.within(root, () => tracer.startSpan(of.step, { startTime: of.began, attributes: aboutStep(of), root: true })).end();
      return result;
    },
    request(server, requestId, send) {
      const attributes = { 'backspin.server': server, 'backspin.request': requestId };
      const span = tracer.startSpan('request', { attributes }, active.getStore() ?? ROOT_CONTEXT);
      return ended(span, send, ({ tokens }) => ({ 'backspin.tokens': tokens }));
    },
    close: () => Promise.race([provider.shutdown(), delay(FLUSHED_WITHIN, undefined, { ref: false })]),
  };
}

const aboutStep = ({ experiment, step, operation }: TracedActivity): Attributes => ({
  'backspin.experiment': experiment,
  'backspin.step': step,
  'backspin.operation': operation,
});

/** Ends the span when the body has ended, and marks it if that failed. */
async function ended<T>(span: Span, body: () => Promise<T>, about: (result: T) => Attributes = () => ({})): Promise<T> {
  try {
    const result = await body();
    span.setAttributes(about(result));
    return result;
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message.slice(0, 300) : String(error) });
    throw error;
  } finally {
    span.end();
  }
}

interface Ids {
  readonly traceId: string;
  readonly spanId: string;
}

/** One trace for each time that an experiment performs a step. */
function idsOf({ experiment, step, began }: TracedActivity): Ids {
  const digest = sha256(JSON.stringify([experiment, step, began]));
  return { traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) };
}

/** Random ids, except for spans that `within` starts. */
class StepIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #given: Ids | undefined;

  generateTraceId = (): string => this.#given?.traceId ?? this.#random.generateTraceId();
  generateSpanId = (): string => this.#given?.spanId ?? this.#random.generateSpanId();

  within<T>(ids: Ids, start: () => T): T {
    this.#given = ids;
    try {
      return start();
    } finally {
      this.#given = undefined;
    }
  }
}
