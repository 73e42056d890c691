/** Defines the paths inside a store. */
import { join } from 'node:path';

export interface Paths {
  readonly root: string;
  readonly id: string;
  /** Temporary files, on the same disk. */
  readonly temporary: string;
  readonly folders: { readonly [folder in 'blobs' | 'datasets' | 'models' | 'outputs' | 'experiments' | 'work' | 'tables']: string };
  blob(digest: string): string;
  dataset(digest: string): string;
  /** The dataset as Parquet, made when a query first needs it. */
  table(digest: string, layout: string): string;
  /** The folder that holds `manifest.json` and `files/`. */
  model(digest: string): string;
  output(stepKey: string): string;
  experiment(name: string): string;
  /** Folder of step notes since the last write of the experiment's record. */
  notes(name: string): string;
  same(namespace: string): string;
  prompt(digest: string): string;
  grant(digest: string): string;
  work(stepKey: string): string;
  /** Folder of the sweeps, and a sweep in it. */
  readonly sweeps: string;
  sweep(name: string): string;
  /** What people have decided about records of a dataset so far. */
  readonly reviews: string;
  review(digest: string): string;
}

export function pathsOf(root: string): Paths {
  const folder = (name: string) => join(root, name);
  const folders = {
    blobs: folder('blobs'),
    datasets: folder('datasets'),
    models: folder('models'),
    outputs: folder('outputs'),
    experiments: folder('experiments'),
    work: folder('work'),
    tables: folder('tables'),
  };
  return {
    root,
    id: join(root, 'id'),
    temporary: folder('tmp'),
    folders,
    blob: (digest) => join(folders.blobs, digest.slice(0, 2), `${digest}.jsonl.zst`),
    dataset: (digest) => join(folders.datasets, `${digest}.json`),
    table: (digest, layout) => join(folders.tables, `${digest}.${layout}.parquet`),
    model: (digest) => join(folders.models, digest),
    output: (stepKey) => join(folders.outputs, stepKey.slice(0, 2), `${stepKey}.json`),
    grant: (digest) => join(root, 'grants', `${digest}.json`),
    same: (space) => join(root, 'same', space),
    prompt: (digest) => join(root, 'prompts', `${digest}.jinja`),
    experiment: (name) => join(folders.experiments, `${name}.json`),
    notes: (name) => join(folders.experiments, `${name}.steps`),
    work: (stepKey) => join(folders.work, stepKey),
    sweeps: folder('sweeps'),
    sweep: (name) => join(root, 'sweeps', `${name}.json`),
    reviews: folder('reviews'),
    review: (digest) => join(root, 'reviews', digest),
  };
}
