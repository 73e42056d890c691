/** Constraints that code can check. What is said of IFEval's kinds are the verdicts of its published checkers, unless a title says otherwise. */
import test from 'ava';
import { describeRule, ifevalKinds, meets, rule, wordingsOf, type Rule } from '../../operators/rules/index.ts';
import { paragraphsOf, sentencesOf, wordsOf } from '../../operators/rules/text.ts';

type Cases = readonly (readonly [params: object, met: readonly string[], unmet: readonly string[]])[];

const english = 'The river runs through many valleys before it reaches the sea.';
const swahili = 'Nairobi ni mji mkuu wa Kenya na una watu wengi sana. Siku ya kwanza tutatembea sokoni na kula chakula cha kienyeji.';
const nepali = 'विराटनगर नेपालको एक प्रमुख औद्योगिक शहर हो। पहिलो दिन हामी बिहान सबेरै उठेर बजार घुम्न जान्छौं।';
const hindi = 'विराटनगर नेपाल का एक प्रमुख औद्योगिक शहर है। पहले दिन हम सुबह जल्दी उठकर बाजार घूमने जाएंगे।';

const published: Readonly<Record<string, Cases>> = {
  'keywords:existence': [[{ keywords: ['war', 'peace'] }, ['Warm PEACE.', 'of war and peaceful times'], ['war alone', 'peace']]],
  'keywords:frequency': [
    [{ keyword: 'war ', frequency: 2, relation: 'at least' }, ['War is warm.'], ['war', 'a wa r war']],
    [{ keyword: 'war', frequency: 2, relation: 'less than' }, ['war', 'none'], ['warwar']],
  ],
  'keywords:forbidden_words': [
    [{ forbidden_words: ['rock', "don't"] }, ['rocks and rocky ways', 'do not'], ['A Rock.', "I DON'T.", 'rock-hard']],
  ],
  'keywords:letter_frequency': [
    [{ letter: 'T', let_frequency: 2, let_relation: 'less than' }, ['the', 'a'], ['Tot']],
    [{ letter: 'a', let_frequency: 2, let_relation: 'at least' }, ['A cat'], ['a dog']],
  ],
  'language:response_language': [
    [
      { language: 'en' },
      [english, '1234', '...'],
      ['Der Fluss fließt durch viele Täler, bevor er das Meer erreicht.', '河流在入海前流经许多山谷。'],
    ],
    [{ language: 'de' }, ['Der Fluss fließt durch viele Täler, bevor er das Meer erreicht.'], [english]],
    [{ language: 'sw' }, [swahili], [english, 'Ang Maynila ay ang kabisera ng Pilipinas at maraming tao ang nakatira dito.']],
    [{ language: 'ne' }, [nepali], [hindi]],
  ],
  'length_constraints:number_words': [
    [{ num_words: 5, relation: 'less than' }, ['one two three four', '- * !'], ["one two three don't", 'one, two, three, four, five']],
    [{ num_words: 5, relation: 'at least' }, ['well-known snake_case 3.14'], ['well-known snake_case 3']],
  ],
  'length_constraints:number_sentences': [
    [{ num_sentences: 2, relation: 'at least' }, ['It rains. It pours!', 'Is it? It is.'], ['It rains and it pours.', 'Title\n\n- a\n- b']],
    [{ num_sentences: 2, relation: 'less than' }, ['It costs 3.50 dollars, as Mr. Smith says.'], ['It rains. It pours.']],
  ],
  'length_constraints:number_paragraphs': [
    [{ num_paragraphs: 2 }, ['a\n***\nb', '***a***b\n\nc***'], ['a\n\nb', 'a\n***\n***\nb', 'a***b***c']],
  ],
  'length_constraints:nth_paragraph_first_word': [
    [
      { num_paragraphs: 2, nth_paragraph: 2, first_word: 'Hello' },
      ['a\n\nhello, you', `a\n\n'"HELLO" you`, 'a\n\n hello\n\n'],
      ['hello', 'a\n\nhello-you', 'a\n\nhello\n\nb', 'a\n\n\n\nhello', 'a\nhello'],
    ],
  ],
  'detectable_content:number_placeholders': [
    [{ num_placeholders: 2 }, ['[name] at [place] on [date]', '[][a]'], ['[name]', '[na\nme] [date]']],
  ],
  'detectable_content:postscript': [
    [{ postscript_marker: 'P.S.' }, ['a\nP.S. b', 'p. s. x'], ['PS b', 'p.s b']],
    [{ postscript_marker: 'P.P.S' }, ['a P.P.S. b', 'p. p. s b'], ['P.S. b']],
    [{ postscript_marker: 'N.B.' }, ['a n.b. c'], ['nxb.']],
  ],
  'detectable_format:number_bullet_lists': [
    [{ num_bullets: 2 }, ['* a\n* b', 'x\n  - a\n* b', '- a\n---'], ['* a', '**a**\n* b', 'x * a\n* b', '* a\n* b\n- c']],
  ],
  'detectable_format:constrained_response': [
    [{}, ['My answer is yes.', 'Well: My answer is maybe. So.'], ['My answer is yes', 'my answer is no.']],
  ],
  'detectable_format:number_highlighted_sections': [
    [{ num_highlights: 2 }, ['*a* and *b c*', '**a** and *b*'], ['*a*', '* * **  **', '*a\nb* *c*', '**a**']],
  ],
  'detectable_format:multiple_sections': [
    [
      { section_spliter: 'SECTION', num_sections: 2 },
      ['SECTION 1\na\nSECTION 2\nb', 'SECTION1 SECTION22 SECTION 3'],
      ['SECTION 1', 'Section 1 Section 2', 'SECTION X SECTION Y'],
    ],
  ],
  'detectable_format:json_format': [
    [{}, ['{"a": [1]}', '```json\n{"a": 1}\n```', ' ```JSON 3``` ', '"text"'], ["{'a': 1}", 'Here: {}', '```yaml\n1```', '{"a": 1,}']],
  ],
  'detectable_format:title': [[{}, ['<<Joy>>\nx', 'x <<<a>>> y'], ['<Joy>', '<< >>', '<<a\nb>>', '<<>>']]],
  'combination:two_responses': [[{}, ['a ****** b', '******a******b******'], ['a', 'a******a', 'a******b******c', 'a************b']]],
  'combination:repeat_prompt': [[{ prompt_to_repeat: ' Say why. ' }, ['say WHY. Because.'], ['Because. Say why.', 'Say, why.']]],
  'change_case:capital_word_frequency': [
    [{ capital_frequency: 2, capital_relation: 'at least' }, ['NASA and I', 'A WELL-KNOWN U.S. fact'], ['NASA', 'WELL-KNOWN', '12 Nasa']],
    [{ capital_frequency: 1, capital_relation: 'less than' }, ['none', '123'], ['ONE']],
  ],
  'change_case:english_capital': [[{}, [english.toUpperCase()], [english, '1234', 'DER FLUSS FLIESST DURCH VIELE GROSSE TÄLER.']]],
  'change_case:english_lowercase': [
    [{}, [english.toLowerCase()], [english, '1234', 'der fluss fließt durch viele große täler bis ans meer.']],
  ],
  'startend:end_checker': [
    [{ end_phrase: 'Any questions? ' }, ['So. any QUESTIONS?', '"Any questions?"'], ['Any questions? No.', 'Any questions']],
  ],
  'startend:quotation': [[{}, ['"a"', ' "a\n\nb" '], ['"a', 'a"', '"', "'a'"]]],
  'punctuation:no_comma': [[{}, ['a; b'], ['a, b']]],
};
const crab: Readonly<Record<string, Cases>> = {
  'crab:words': [
    [{ atLeast: 2, atMost: 3 }, ['a b', 'a b c'], ['a', 'a b c d']],
    [{ around: 10 }, ['a '.repeat(10), 'a '.repeat(19)], ['a '.repeat(20)]],
    [{ around: 200 }, ['a '.repeat(219), 'a '.repeat(181)], ['a '.repeat(220), 'a '.repeat(180)]],
  ],
  'crab:sentence': [[{ atMost: 3 }, ['One two three. One two.', 'One, two, three!'], ['One two. One two three four.']]],
  'crab:paragraph': [[{ atMost: 2 }, ['A is. B is.\n\nC is.'], ['A is.\n\nB is. C is. D is.']]],
  'crab:word': [
    [{ atMost: 5 }, ['Words of five.'], ['Longer words.']],
    [{ atLeast: 5 }, ['Longer words, always.'], ['A longer word.']],
  ],
  'crab:keyword': [[{ keywords: ['river', 'C++'] }, ['Rivers in c++'], ['River in C', 'C++']]],
  'crab:punctuation': [[{ without: '?' }, ['Why.'], ['Why?']]],
};

for (const [id, cases] of Object.entries({ ...published, ...crab }))
  test(`${id}: which texts meet it, and no blank one does`, async (t) => {
    for (const [params, met, unmet] of cases) {
      const one = rule.parse({ id, params });
      for (const text of met) t.true(await meets(text, one), `${JSON.stringify(params)}: ${text}`);
      for (const text of [...unmet, '', ' \n']) t.false(await meets(text, one), `${JSON.stringify(params)}: ${text}`);
    }
  });

test('IFEval has 25 kinds, and each is tried above', (t) => {
  t.deepEqual(Object.keys(published).toSorted(), Object.keys(ifevalKinds).toSorted());
  t.is(Object.keys(published).length, 25);
});

test('a rule can be worded in several ways, and each says all that it demands', (t) => {
  for (const [id, cases] of Object.entries({ ...published, ...crab }))
    for (const [params] of cases) {
      const one = rule.parse({ id, params });
      const wordings = wordingsOf(one);
      t.is(new Set(wordings).size, wordings.length);
      t.true(wordings.length >= 2, id);
      for (const wording of wordings)
        for (const value of Object.values(params).flat() as unknown[])
          if (!['language:response_language', 'combination:repeat_prompt', 'crab:punctuation'].includes(id))
            t.true(wording.includes(String(value).trim()), `${id}: ${wording} does not say ${String(value)}`);
      t.deepEqual(
        [0, 0.999].map((lot) => describeRule(one, lot)),
        [wordings[0], wordings.at(-1)],
      );
    }
  t.true(wordingsOf({ id: 'language:response_language', params: { language: 'sw' } }).every((wording) => wording.includes('Swahili')));
  t.deepEqual(wordingsOf({ id: 'crab:punctuation', params: { without: ':' } }), ['Use no colon.', 'Write without any colons.']);
});

for (const [what, faulty, says] of [
  ['a kind that is not known', { id: 'keywords:existance', params: {} }, /keywords:existence/],
  ['a parameter that is missing', { id: 'length_constraints:number_words', params: { num_words: 3 } }, /relation/],
  ['a parameter of another kind', { id: 'punctuation:no_comma', params: { num_words: 3 } }, /num_words/],
  ['a relation that is none', { id: 'length_constraints:number_words', params: { num_words: 3, relation: 'at most' } }, /less than/],
  ['a language that nothing can tell', { id: 'language:response_language', params: { language: 'tlh' } }, /language/],
  [
    'two letters',
    { id: 'keywords:letter_frequency', params: { letter: 'ab', let_frequency: 1, let_relation: 'at least' } },
    /one character/,
  ],
  ['no limit', { id: 'crab:words', params: {} }, /limit/],
] as const)
  test(`${what} is refused`, (t) => {
    t.regex(t.throws(() => rule.parse(faulty)).message, says);
  });

test('Chinese, Japanese and Thai have the words and sentences that their readers see', async (t) => {
  t.deepEqual(wordsOf('河流流入大海。'), ['河流', '流入', '大海']);
  t.is(wordsOf('これは日本語のテキストです。').length, 6);
  t.is(wordsOf('ภาษาไทยง่าย').length, 3);
  t.deepEqual(sentencesOf('河流很长。它流入大海！你知道吗？'), ['河流很长。', '它流入大海！', '你知道吗？']);
  t.is(sentencesOf('川は長い。海に流れる。').length, 2);
  t.deepEqual(wordsOf('हिन्दी के शब्द'), ['हिन्दी', 'के', 'शब्द']);
  const of = (id: string, params: object) => rule.parse({ id, params });
  t.true(await meets('河流流入大海。', of('length_constraints:number_words', { num_words: 3, relation: 'at least' })));
  t.false(await meets('我不喜欢战争。', of('keywords:forbidden_words', { forbidden_words: ['战争'] })));
  t.false(await meets('河流很长，流入大海。', of('punctuation:no_comma', {})));
  t.true(
    await meets(
      '好。\n\n因此我来。',
      of('length_constraints:nth_paragraph_first_word', { num_paragraphs: 2, nth_paragraph: 2, first_word: '因此' }),
    ),
  );
});

test('a keyword is a text and no pattern; the letter of a rule may be any character', async (t) => {
  const of = (id: string, params: object) => rule.parse({ id, params });
  t.false(await meets('abc', of('keywords:existence', { keywords: ['a.c'] })));
  t.true(await meets('in C++ (or a.c)', of('keywords:existence', { keywords: ['c++', 'a.c', '('] })));
  t.false(await meets('(a)', of('keywords:forbidden_words', { forbidden_words: ['(a)'] })));
  const tags = of('keywords:letter_frequency', { letter: '#', let_frequency: 2, let_relation: 'at least' });
  t.deepEqual(await Promise.all(['#a #b', '#a'].map((text) => meets(text, tags))), [true, false]);
});

test('a sentence ends at its full stop, not at that of a title, an initial, a month or a number; a line break ends none', (t) => {
  t.is(sentencesOf('Mr. J. Smith met Dr. Who on Jan. 5. They talked.').length, 2);
  t.deepEqual(sentencesOf('1. First one. 2. Second one.'), ['1. First one.', '2. Second one.']);
  t.is(sentencesOf('A poem\nof two lines').length, 1);
  t.deepEqual(sentencesOf('"Really?" It is. 5.'), ['"Really?"', 'It is.', '5.']);
  t.deepEqual(sentencesOf('Stop... "..."'), ['Stop...']);
  t.deepEqual(paragraphsOf('a\nb\n \n\nc\n\n'), ['a\nb', 'c']);
});

const typed: Rule = { id: 'crab:words', params: { atLeast: 1 } };
test('a rule is plain JSON, and stays what it is when it is read again', (t) => {
  t.deepEqual(rule.parse(JSON.parse(JSON.stringify(typed))), typed);
});
