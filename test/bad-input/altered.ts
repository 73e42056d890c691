/** Files of a store and a home that somebody, or a disk, has altered. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { holdHome } from '../../host/leftovers.ts';
import { sha256 } from '../../schemas/canonical.ts';
import { command as of, put, type Case } from './case.ts';
import { toyHome, type Toy } from './toy.ts';

const command = (what: string, line: string, ends: number, says: RegExp, alter: (toy: Toy) => void | Promise<void>): Case =>
  of(what, line.split(' ').slice(1), ends, says, { home: toyHome(alter) });

function edit(path: string, from: string | RegExp, to: string): void {
  const before = readFileSync(path, 'utf8');
  const after = before.replace(from, to);
  assert.notEqual(after, before, `${path} holds no ${from}`);
  writeFileSync(path, after);
}
const recordOf = ({ paths }: Toy) => paths.experiment('toy');
const outputOf = ({ paths }: Toy, path: string) => paths.output(sha256(path));
const manifestOf = ({ paths, kept }: Toy) => paths.dataset(kept.digest);
const shardOf = ({ paths, shard }: Toy) => paths.blob(shard);
const modelOf = ({ paths, model }: Toy, file: string) => join(paths.model(model), file);

const again = 'so nothing was read from it: delete that file and launch the experiment that made it again';
const away = 'so nothing was read from it: launch the experiment again, and it is written anew';
const sentence = (...parts: readonly string[]) => new RegExp(parts.join('[^]*'));

export const altered: readonly Case[] = [
  command(
    'the record of an experiment was cut',
    'backspin status toy',
    1,
    sentence('experiments/toy\\.json does not read as what it should be', away),
    (toy) => truncateSync(recordOf(toy), 100),
  ),
  command(
    'the record of an experiment is empty',
    'backspin list',
    1,
    sentence('experiments/toy\\.json does not read', 'Unexpected end of JSON input', away),
    (toy) => truncateSync(recordOf(toy), 0),
  ),
  command(
    'the record of an experiment was edited',
    'backspin status toy',
    1,
    sentence('state is "complete", which is none of', 'the nearest is "completed"', away),
    (toy) => edit(recordOf(toy), '"completed"', '"complete"'),
  ),
  command(
    'the record of an experiment was renamed',
    'backspin status other',
    1,
    sentence('experiments/other\\.json holds what belongs under another name', away),
    (toy) => renameSync(recordOf(toy), toy.paths.experiment('other')),
  ),
  command('gc meets a record that it cannot read', 'backspin gc', 1, sentence('experiments/toy\\.json does not read', away), (toy) =>
    truncateSync(recordOf(toy), 100),
  ),
  command(
    'the output of a step was cut',
    'backspin show toy r1/judge',
    1,
    sentence('outputs/.*\\.json does not read as what it should be', again),
    (toy) => truncateSync(outputOf(toy, 'r1/judge'), 50),
  ),
  command(
    'the output of a step is that of another',
    'backspin show toy r1/judge',
    1,
    sentence('outputs/.*\\.json holds what belongs under another name', again),
    (toy) => copyFileSync(outputOf(toy, 'r2/forward'), outputOf(toy, 'r1/judge')),
  ),
  command(
    'the output of a step is gone',
    'backspin show toy r1/judge',
    1,
    /What the step r1\/judge has given is not in .*store any more: launch the experiment again, and it is made again/,
    (toy) => rmSync(outputOf(toy, 'r1/judge')),
  ),
  command(
    'a manifest was cut',
    'backspin show toy r1/judge',
    1,
    sentence('datasets/.*\\.json does not read as what it should be', again),
    (toy) => truncateSync(manifestOf(toy), 50),
  ),
  command(
    'a manifest counts a record more than its shards',
    'backspin show toy r1/judge',
    1,
    sentence('datasets/.*\\.json', 'its shards do not add up to its rows and bytes', again),
    (toy) => edit(manifestOf(toy), '"rows":2', '"rows":3'),
  ),
  command(
    'a manifest is gone',
    'backspin show toy r1/judge',
    1,
    /The dataset [0-9a-f]{64} is not in .*: launch the experiment that made it again/,
    (toy) => rmSync(manifestOf(toy)),
  ),
  command(
    'a bit of a shard has turned',
    'backspin show toy r1/judge',
    1,
    sentence('blobs/.*\\.jsonl\\.zst cannot be unpacked', again),
    (toy) => {
      const bytes = readFileSync(shardOf(toy));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(shardOf(toy), bytes);
    },
  ),
  command(
    'a shard that is to be exported is gone',
    'backspin export toy r1/judge --to out',
    1,
    /The shard .*\.jsonl\.zst is not there: launch the experiment that made it again/,
    (toy) => rmSync(shardOf(toy)),
  ),
  command(
    'a weight of a model has changed',
    'backspin export toy --to out',
    1,
    sentence('files/model\\.safetensors holds other bytes than its manifest says', again),
    (toy) => writeFileSync(modelOf(toy, 'files/model.safetensors'), 'Weights'),
  ),
  command(
    'a file of a model is gone',
    'backspin export toy --to out',
    1,
    /files\/config\.json is not there: launch the experiment that made this model again/,
    (toy) => rmSync(modelOf(toy, 'files/config.json')),
  ),
  command(
    'a file was put into a model',
    'backspin export toy --to out',
    1,
    sentence('files/mine\\.txt does not belong to this model', again),
    (toy) => writeFileSync(modelOf(toy, 'files/mine.txt'), 'mine'),
  ),
  command(
    "a model's manifest was moved",
    'backspin export toy --to out',
    1,
    /The model [0-9a-f]{64} is not in .*: launch the experiment that made it again/,
    (toy) => renameSync(modelOf(toy, 'manifest.json'), modelOf(toy, 'manifest.old')),
  ),
  command(
    'the id of a store was deleted by half',
    'backspin list',
    1,
    /store\/id should hold the eight characters that name this store: put them back/,
    ({ paths }) => writeFileSync(paths.id, '12ab'),
  ),
  command('up.json holds nothing', 'backspin list', 0, /toy +humpback +completed/, ({ home }) => void put(home, { 'up.json': 'null' })),
  command(
    'up.json was edited while up lives',
    'backspin down',
    1,
    /already up in .*up\.json does not say as which process: .*end it with `kill`/,
    async ({ home }) => {
      put(home, { 'up.json': '{"pid":' });
      await holdHome(home);
    },
  ),
];
