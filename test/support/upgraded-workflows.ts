/** Defines the toy workflows of another build: their recipes run one more step first. */
import { operators, type Dataset, type Run } from '../../recipe/index.ts';
import { recipes } from '../../workflows/recipes/index.ts';

export { experiment, stage } from './toy-workflows.ts';

const { sieve } = operators<typeof import('./toy.ts')>('toy');

type Toy = (run: Run, config: { readonly numbers: Dataset<{ readonly n: number }> }) => Promise<object>;

for (const name of ['toy', 'braid', 'chatter']) {
  const before = recipes[name] as Toy;
  const now: Toy = async (run, config) => {
    const more = run.map(sieve, config.numbers, { params: { by: 7 }, as: 'more' });
    return { ...(await before(run, config)), more: await more };
  };
  Object.assign(recipes, { [name]: now });
}
