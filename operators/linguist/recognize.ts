/** V8: a tagger must take a generated utterance for one of its intent (2209.09900). */
import { drop, keep, labeler } from '../../recipe/index.ts';
import { textOf } from './compose.ts';
import { recognized, sample } from './records.ts';
import { reasons } from './rules.ts';

/** Stores the tagger's intent and slots; drops an utterance that it takes for another intent. */
export const recognize = labeler({
  version: 1,
  input: sample,
  output: recognized,
  take: (sample, { intent, tags }) =>
    intent === sample.intent
      ? keep({ ...sample, rules: { ...sample.rules, V8: true }, predicted: { intent, tags } })
      : drop(reasons.V8, `${intent}: ${textOf(sample)}`),
});
