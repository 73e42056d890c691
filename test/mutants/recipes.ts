/** Faults that the tests of recipes must notice. */
import type { Mutant } from './mutant.ts';

export const ofRecipes: readonly Mutant[] = [
  {
    name: 'back-and-forth: arms are as large as the first',
    file: 'workflows/recipes/back-and-forth.ts',
    from: 'take: { as: found, most: size }',
    to: 'take: { as: found.slice(0, 1), most: size }',
    test: 'test/recipe/back-and-forth.test.ts',
  },
  {
    name: 'kun: a response of 19 characters is long enough',
    file: 'operators/kun/index.ts',
    from: 'codePoints(response.trim()) < minChars',
    to: 'codePoints(response) < minChars - 1',
    test: 'test/operators/kun.test.ts',
  },
  {
    name: 'tegit: an output may echo the request',
    file: 'operators/tegit/index.ts',
    from: '[fields.instruction, fields.output].find',
    to: '[fields.instruction].find',
    test: 'test/recipe/tegit.test.ts',
  },
  {
    name: 'tegit: a short field that the request has by chance is an echo',
    file: 'operators/tegit/index.ts',
    from: '>= MIN_ECHO_WORDS',
    to: '>= 0',
    test: 'test/recipe/tegit.test.ts',
  },
  {
    name: 'tegit: the student has the settings of the wrapper',
    file: 'workflows/recipes/tegit.ts',
    from: "const model = turn.train('student', { ...sft, data",
    to: "const model = turn.train('student', { ...sft, ...config.wrapperSft, data",
    test: 'test/recipe/tegit.test.ts',
  },
  {
    name: 'air: the judge sees the first answer for ever',
    file: 'operators/air/refine.ts',
    from: '      output = reply.text;\n',
    to: '',
    test: 'test/recipe/air.test.ts',
  },
  {
    name: 'air: an answer is checked against all constraints',
    file: 'operators/air/refine.ts',
    from: "request('guidance', 'check', { instruction: rated.instruction,",
    to: "request('guidance', 'check', { instruction,",
    test: 'test/recipe/air.test.ts',
  },
  {
    name: 'crab: a row has other bytes than its response',
    file: 'operators/crab/forward.ts',
    from: 'const last = withReply(user(turnOf(root.value, constraints, weights, style, settings, random)), root.value.response).messages;',
    to: 'const last = withReply(user(turnOf(root.value, constraints, weights, style, settings, random)), root.value.response.trim()).messages;',
    test: 'test/recipe/crab.test.ts',
  },
  {
    name: 'crab: of two twins the second stays',
    file: 'operators/crab/similar.ts',
    from: 'one[1].size >= most[1].size',
    to: 'one[1].size > most[1].size',
    test: 'test/operators/crab.test.ts',
  },
  {
    name: 'crab: a response of the least number of words is short',
    file: 'operators/crab/seeds.ts',
    from: 'words >= minWords ||',
    to: 'words > minWords ||',
    test: 'test/operators/crab.test.ts',
  },
  {
    name: 'linguist: a request has more examples than said',
    file: 'operators/linguist/briefs.ts',
    from: 'drawSample(others, most - 1, draw)].slice(0, most)',
    to: 'drawSample(others, most, draw)]',
    test: 'test/operators/linguist.test.ts',
  },
];
