/** Texts for the `example` of prompts. */
export const example = {
  instruction: 'Why is the sky blue?',
  response: 'Air scatters blue light more than red light.',
  text: 'The sky is blue, because air scatters blue light more than red light.',
  constraint: 'Answer in one sentence.',
} as const;
