import { reducer, type Metrics, type Report, type MaybePromise } from '../../recipe/index.ts';

/** Computes the mean and sample standard deviation (n - 1; 0 for a single report) of each metric over the reports that have it. */
export const spread = reducer<readonly MaybePromise<Report<Metrics>>[], Report<Metrics>>({
  version: 1,
  outputs: 'report',
  run(reports) {
    const metrics: Record<string, number> = {};
    for (const name of new Set(reports.flatMap((report) => Object.keys(report)))) {
      const values = reports.flatMap((report) => report[name] ?? []);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      metrics[`${name}Mean`] = mean;
      metrics[`${name}Std`] = values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1));
    }
    return Promise.resolve(metrics);
  },
});
