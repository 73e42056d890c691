#!/usr/bin/env node
// Fakes `python -m backspin_trainer serve|train --spec FILE`: starts at once, and starts one subprocess of its own like a real
// engine. Files in its folder control it, so that a test chooses each moment instead of waiting for it.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const [, , , , verb, , file] = process.argv;
const spec = JSON.parse(fs.readFileSync(file, 'utf8'));
const folder = path.dirname(file);
const told = (name) => fs.existsSync(path.join(folder, name));
spawn('sleep', ['1000'], { stdio: 'ignore' });
fs.appendFileSync(path.join(folder, 'starts'), `${process.pid}\n`);

// `fail` holds an exit code, and perhaps a sentence for the log.
if (told('fail')) {
  const [code, ...words] = fs.readFileSync(path.join(folder, 'fail'), 'utf8').split(' ');
  console.error(words.join(' '));
  process.exit(Number(code));
}
if (told('deaf')) process.on('SIGTERM', () => {});
if (verb === 'serve') serve();
else train();

function serve() {
  const server = http.createServer((request, response) => {
    const answer = () => {
      if (told('hang')) setTimeout(answer, 5);
      else if (request.method === 'PUT') load(request, response);
      else response.end(request.headers.authorization === `Bearer ${process.env.BACKSPIN_SERVE_KEY}` ? 'with key' : 'ok');
    };
    answer();
  });
  server.listen(spec.port, spec.host, () => {
    const ready = { port: server.address().port, pid: process.pid, engine: 'fake', version: '1', dtype: 'float32' };
    fs.writeFileSync(`${spec.ready}.partial`, JSON.stringify(ready));
    fs.renameSync(`${spec.ready}.partial`, spec.ready);
  });
}

/** Records the request for other models in a file; refuses it while a file `stubborn` exists. */
function load(request, response) {
  let text = '';
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => {
    if (told('stubborn')) response.statusCode = 400;
    else fs.writeFileSync(path.join(folder, 'loaded'), text);
    response.end();
  });
}

/** Writes a checkpoint every second step. Waits before a step while a file `hold-STEP` exists; kills its process group before a step with `die-STEP`.
 *  `memory` holds the rows that fit into memory; from step 3 on the micro-batch must. `pace` holds the seconds of a step. */
function train() {
  const say = (event, fields) => fs.appendFileSync(path.join(spec.run, 'events.jsonl'), `${JSON.stringify({ v: 1, event, ...fields })}\n`);
  const checkpoint = path.join(spec.run, 'checkpoint');
  let step = fs.existsSync(checkpoint) ? Number(fs.readFileSync(checkpoint, 'utf8')) : 0;
  const seconds = told('pace') ? Number(fs.readFileSync(path.join(folder, 'pace'), 'utf8')) : 0.5;
  const microBatch = spec.microBatch ?? spec.batch;
  const fit = told('memory') ? Number(fs.readFileSync(path.join(folder, 'memory'), 'utf8')) : Infinity;
  say('start', { pid: process.pid, resumedFrom: step || null, steps: spec.steps, microBatch, accumulation: spec.batch / microBatch });
  const next = () => {
    if (told('stop')) {
      fs.rmSync(path.join(spec.run, 'stop'));
      fs.writeFileSync(checkpoint, String(step));
      say('stopped', { step });
      process.exit(75);
    }
    if (step === spec.steps) {
      fs.mkdirSync(path.join(spec.run, 'model'));
      say('done', { step, loss: 1 });
      process.exit(0);
    }
    if (told(`die-${step + 1}`)) {
      fs.rmSync(path.join(folder, `die-${step + 1}`));
      fs.appendFileSync(path.join(spec.run, 'events.jsonl'), '{"v":1,"event":"st\n'); // torn, and closed by the next
      process.kill(process.pid, 'SIGKILL');
    }
    if (step === 3 && microBatch > fit) {
      say('error', { message: 'Out of memory: 20 GiB are missing.', code: 71 });
      say('stopped', { step }); // by another process of the training
      process.exit(1);
    }
    if (!told(`hold-${step + 1}`)) {
      step++;
      say('step', { step, loss: 1, learningRate: 1 / step, tokens: 10, seconds });
      if (spec.evaluate && step % spec.evaluate.every === 0) say('evaluation', { step, loss: 3 / step, rows: 2, seconds });
      if (step % 2 === 0) fs.writeFileSync(checkpoint, String(step));
    }
    setTimeout(next, 5);
  };
  next();
}
