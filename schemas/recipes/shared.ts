/** Parameters that several recipes have. */
import { z } from 'zod';

export const nearDuplicates = z
  .number()
  .positive()
  .max(1)
  .nullable()
  .default(null)
  .describe('Jaccard index of word 3-grams from which a text repeats an earlier one and is left out; null leaves none out.');

/** Nucleus sampling as in Humpback (2308.06259, 3.1); elsewhere where a paper is silent. */
export const nucleus = { temperature: 0.7, topP: 0.9, maxTokens: 512 };
