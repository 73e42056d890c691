/** `backspin init RECIPE [FILE]`: writes a commented experiment file for your own data, and beside it the schema that editors check it with. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { suggest } from '../schemas/nearest.ts';
import { fileSchema } from './schema.ts';

const EXAMPLES = join(dirname(import.meta.dirname), 'examples');
const SCHEMA = 'backspin.schema.json';

/** `recipe`: the name of a file in `examples/`. `file`: default RECIPE.yaml. Throws EEXIST if it is there. */
export async function run(recipe: string, file = `${recipe}.yaml`): Promise<void> {
  const recipes = (await readdir(EXAMPLES)).filter((name) => name.endsWith('.yaml')).map((name) => basename(name, '.yaml'));
  if (!recipes.includes(recipe))
    throw new BackspinError('ConfigError', `There is no experiment file of a recipe "${recipe}"${suggest(recipe, recipes)}.`);
  const text = await readFile(join(EXAMPLES, `${recipe}.yaml`), 'utf8');
  const named = text.replaceAll(`examples/${recipe}.yaml`, relative('.', file));
  await writeFile(file, `# yaml-language-server: $schema=${SCHEMA}\n${named}`, { flag: 'wx' });
  await writeFile(join(dirname(file), SCHEMA), `${JSON.stringify(fileSchema(), null, 2)}\n`);
  console.log(`${file} is written: put your data and models where it says, and run \`npx backspin plan ${file}\`.`);
}
