/** The page about models shows what an experiment file can say, and names every file that an import takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { experimentFile } from '../../schemas/file.ts';
import { selectFiles } from '../../store/models.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/models.md'), 'utf8');

test('the models of the page are models of an experiment file', (t) => {
  const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml]) => parse(yaml!) as { models: object });
  t.true(blocks.length > 0);
  for (const { models } of blocks) t.notThrows(() => experimentFile.shape.models.parse(models));
});

test('of a repository the files are taken that the page names', async (t) => {
  const taken =
    'config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja vocab.json merges.txt tokenizer.model model.safetensors.index.json a.safetensors b.safetensors 1_Pooling/config.json modules.json'.split(
      ' ',
    );
  const other =
    'README.md LICENSE LICENSE.txt .gitattributes requirements.txt trainer_state.json training_args.bin optimizer.pt pytorch_model.bin pytorch_model.bin.index.json tf_model.h5 consolidated.safetensors model.gguf onnx/model.onnx original/params.json checkpoint-5/config.json runs/events.json figures/loss.png'.split(
      ' ',
    );
  const index = JSON.stringify({ weight_map: { x: 'a.safetensors', y: 'b.safetensors' } });
  t.deepEqual(await selectFiles([...taken, ...other], async () => index), taken);
  const pickled = ['config.json', 'pytorch_model.bin', 'training_args.bin', 'tf_model.h5'];
  t.deepEqual(await selectFiles(pickled, async () => ''), pickled.slice(0, 2));
});
