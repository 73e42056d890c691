/** Counts for Prometheus, through the meter of Temporal's SDK, which serves them beside its own. */
import type { MetricMeter, MetricTags } from '@temporalio/common';
import type { TelemetryOptions } from '@temporalio/worker';
import { noMetrics, type Metrics } from '../schemas/metrics.ts';
import type { Traces } from '../schemas/traces.ts';

/** Where and how a worker serves its metrics. `bindAddress` as 127.0.0.1:9464. */
export const exporter = (bindAddress: string): TelemetryOptions => ({
  metrics: {
    prometheus: {
      bindAddress,
      countersTotalSuffix: true,
      unitSuffix: true,
      histogramBucketOverrides: { backspin_request_duration: [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000] },
    },
  },
});

/** `meter`: undefined where no metrics are wanted. */
export function metricsOf(meter: MetricMeter | undefined): Metrics {
  if (!meter) return noMetrics;
  const requests = meter.createCounter('backspin_requests', 'requests', 'Requests that are over, by server and outcome');
  const tokens = meter.createCounter('backspin_tokens', 'tokens', 'Tokens of prompts and replies, by server');
  const seconds = meter.createHistogram(
    'backspin_request_duration',
    'float',
    'seconds',
    'Seconds of a request that was answered, by server',
  );
  const inFlight = level(meter, 'backspin_requests_in_flight', 'Requests that a server has now');
  const records = meter.createCounter('backspin_records', 'records', 'Records that went through a step, by experiment and outcome');
  const drops = meter.createCounter('backspin_drops', 'records', 'Dropped records, by experiment and reason');
  const leases = level(meter, 'backspin_leases', 'Model servers that run for a step now, by pool');
  return {
    async request(server, _, send) {
      inFlight({ server }, 1);
      const begin = performance.now();
      try {
        const answer = await send();
        requests.add(1, { server, outcome: 'answered' });
        tokens.add(answer.tokens, { server });
        seconds.record((performance.now() - begin) / 1000, { server });
        return answer;
      } catch (error) {
        requests.add(1, { server, outcome: 'failed' });
        throw error;
      } finally {
        inFlight({ server }, -1);
      }
    },
    batch(experiment, { kept, dropped }) {
      records.add(kept, { experiment, outcome: 'kept' });
      records.add(dropped.length, { experiment, outcome: 'dropped' });
      for (const [reason, many] of Map.groupBy(dropped, (each) => each)) drops.add(many.length, { experiment, reason });
    },
    lease: (pool, change) => leases({ pool }, change),
  };
}

/** The same, where every request is a span too. */
export const withSpans = (metrics: Metrics, traces: Traces): Metrics => ({
  ...metrics,
  request: (server, requestId, send) => traces.request(server, requestId, () => metrics.request(server, requestId, send)),
});

/** A gauge that is told of changes. */
function level(meter: MetricMeter, name: string, description: string): (tags: MetricTags, change: 1 | -1) => void {
  const gauge = meter.createGauge(name, 'int', undefined, description);
  const now = new Map<string, number>();
  return (tags, change) => {
    const key = JSON.stringify(tags);
    const value = (now.get(key) ?? 0) + change;
    now.set(key, value);
    gauge.set(value, tags);
  };
}
