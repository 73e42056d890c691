#!/usr/bin/env node
// Stands in for a trainer of the user: `command-trainer.mjs train CONFIG` writes a checkpoint at every step and goes on from it.
// A file `die` in the run folder kills it once before its third step, one `busy` lets it ask for another start once. One `empty`
// makes it leave no model.
import fs from 'node:fs';
import path from 'node:path';

if (process.argv.includes('--version')) {
  console.log('command-trainer 1.2');
  process.exit();
}
const text = fs.readFileSync(process.argv[3], 'utf8');
const { output, data, from, steps, run } = JSON.parse(text);
const once = (name) => fs.existsSync(path.join(run, name)) && (fs.rmSync(path.join(run, name)), true);
const say = (event, fields) => fs.appendFileSync(path.join(run, 'events.jsonl'), `${JSON.stringify({ v: 1, event, ...fields })}\n`);
const checkpoint = path.join(output, 'checkpoint-1');
fs.mkdirSync(checkpoint, { recursive: true });
const state = path.join(checkpoint, 'state');
let step = fs.existsSync(state) ? Number(fs.readFileSync(state, 'utf8')) : 0;
say('start', { pid: process.pid, resumedFrom: step || null, steps });
while (step < steps) {
  if (step === 2 && once('die')) process.kill(process.pid, 'SIGKILL');
  if (step === 2 && once('busy')) process.exit(75);
  step++;
  fs.writeFileSync(state, `${step}`);
  say('step', { step, loss: 1 / step, learningRate: 0.1, tokens: 5, seconds: 0.1 });
  say('checkpoint', { step });
}
if (!fs.existsSync(path.join(run, 'empty'))) {
  fs.copyFileSync(path.join(from, 'config.json'), path.join(output, 'config.json'));
  fs.writeFileSync(path.join(output, 'model.safetensors'), `learnt of ${fs.readFileSync(data, 'utf8')}`);
  fs.writeFileSync(path.join(output, 'training_args.bin'), '');
}
