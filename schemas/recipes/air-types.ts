/** The types of constraints that AIR's judge chooses from (2502.17787); descriptions and examples are ours. */
import { z } from 'zod';

export const constraintType = z.strictObject({
  name: z.string().min(1).describe('Two to six words.'),
  about: z.string().min(1).describe('Ends the sentence "The answer ...".'),
  examples: z.array(z.string().min(1)).min(1).describe('Constraints of this type; the judge is shown one of them, by lot.'),
});
export type ConstraintType = z.output<typeof constraintType>;

const type = (name: string, about: string, ...examples: string[]): ConstraintType => ({ name, about, examples });

export const constraintTypes: readonly ConstraintType[] = [
  type(
    'data format',
    'has a format that programs read',
    'Give the result as a JSON object with the keys name, place and year.',
    'Put all numbers in a Markdown table with one row for each country.',
    'List the steps as lines of CSV, with their number and their duration.',
  ),
  type(
    'document structure',
    'has certain parts in a certain order',
    'Divide the answer into an introduction, three sections with headings, and a conclusion.',
    'Begin with a summary of two sentences, then explain each point in its own paragraph.',
    'Number the steps, and put what is needed in a list before them.',
  ),
  type(
    'domain-specific format',
    'has a form that its field uses',
    'Write it as a laboratory report with aim, method, results and discussion.',
    'Use the form of a business letter with date, subject line and signature.',
    'Give each recipe with its yield, its times and its ingredients in grams.',
  ),
  type(
    'inclusion constraint',
    'holds something that Output1 has and Output2 has not',
    'Mention the main risks, and say for each of them how to avoid it.',
    'Include an example from everyday life for each of the three terms.',
    'Name at least two people who took part, and say what they did.',
  ),
  type(
    'exclusion constraint',
    'leaves out something that Output2 has and Output1 has not',
    'Do not give any prices, brand names or links to shops.',
    'Leave out the history of the subject and begin with how it works today.',
    'Do not use bullet points or headings anywhere in the answer.',
  ),
  type(
    'citation constraint',
    'says where its statements come from',
    'Name the law or the regulation that each of the statements rests upon.',
    'Quote one sentence of the original speech, in quotation marks, with its year.',
    'Give the author and the year for every study that is mentioned.',
  ),
  type(
    'prior condition',
    'fits a situation that is given beforehand',
    'Assume that the reader has no oven and only half an hour of time.',
    'The town has fewer than five thousand people and no railway station.',
    'Suppose that the first attempt has failed and there is no money left.',
  ),
  type(
    'target audience',
    'is written for certain readers',
    'Write it for children of eight to ten who have never heard of the subject.',
    'Explain it to nurses who know the terms but have no time to read much.',
    'Address people who are about to rent their first flat on their own.',
  ),
  type(
    'tone and style',
    'is written in a certain tone or style',
    'Write in a friendly, informal tone, and speak to the reader directly.',
    'Use the sober style of an encyclopedia, in the third person and without opinions.',
    'Tell it like a short story with a narrator who was there.',
  ),
  type(
    'emotion constraint',
    'expresses a certain feeling',
    'Let the reader feel how relieved the travellers were when they arrived.',
    'Show sympathy for those who lost their work, without blaming anybody.',
    'Express cautious hope for the future in the last two sentences.',
  ),
  type(
    'linguistic characteristics',
    'has certain words, sentences or figures of speech',
    'Use short sentences of at most fifteen words and no passive voice.',
    'Begin every paragraph with a question that the paragraph then answers.',
    'Use at least two comparisons with things that one finds in a kitchen.',
  ),
  type(
    'multilingual constraint',
    'uses more than one language',
    'Give the names of all dishes in Italian, with a translation in brackets.',
    'Add a summary of one sentence in Spanish at the end of the answer.',
    'Keep the technical terms in English, and write all the rest in French.',
  ),
];
