/** A chat template is judged here as the trainer judges it, so that no training refuses a model which a plan has passed. */
import test from 'ava';
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { templateFault } from '../../experiments/chat-template.ts';
import { readSetup } from '../../host/setup.ts';

/** End tokens that the templates of TRL write themselves. */
const ends = ['<|im_end|>', '<end_of_turn>', '<|eot_id|>', '<|end|>', '<|END_OF_TURN_TOKEN|>', '</s>'];
const program = `
import glob, json, os, pathlib, sys, trl, world
from backspin_trainer.tokens import check_chat_template, read_tokenizer
world.make_tokenizer(pathlib.Path(sys.argv[1]))
tokenizer = read_tokenizer(sys.argv[1])
said = []
for path in sorted(glob.glob(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "*.jinja"))):
    for end in json.loads(sys.argv[2]):
        tokenizer.chat_template, tokenizer.eos_token = open(path).read(), end
        try:
            check_chat_template(tokenizer, "it", False)
            fault = None
        except Exception as error:
            fault = str(error)
        said.append({"name": os.path.basename(path), "template": tokenizer.chat_template, "end": end, "fault": fault})
print(json.dumps(said))
`;
interface Judged {
  readonly name: string;
  readonly template: string;
  readonly end: string;
  readonly fault: string | null;
}

test('of the templates that TRL ships those are refused that the trainer refuses, and no other', (t) => {
  const trainer = resolve(import.meta.dirname, '../../trainer');
  const printed = execFileSync(readSetup().python, ['-c', program, mkdtempSync(join(tmpdir(), 'tokenizer-')), JSON.stringify(ends)], {
    env: { ...process.env, PYTHONPATH: `${trainer}:${join(trainer, 'tests')}`, HF_HUB_OFFLINE: '1' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
  });
  const judged = JSON.parse(printed) as readonly Judged[];
  t.true(judged.length > 100);
  t.true(judged.some(({ fault }) => fault === null) && judged.some(({ fault }) => fault !== null));
  t.deepEqual(
    new Set(judged.filter(({ name, fault }) => name === 'gemma.jinja' && fault === null).map(({ end }) => end)),
    new Set(['<end_of_turn>']),
  );
  for (const { name, template, end, fault } of judged) {
    const own = templateFault(template, { eos_token: end, bos_token: '<|doc|>', pad_token: '<|pad|>' }, [end]);
    if (own !== undefined) t.not(fault, null, `${name} with ${end}: ${own}`);
    else if (!/^(idefics|llava)/.test(name)) t.is(fault, null, `${name} with ${end}`); // these two want parts in place of text
  }
});
