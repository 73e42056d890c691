// Prints the text that the tokenizer is trained on.
import { tokenizerText } from '../pretraining.ts';
import { World } from '../world.ts';

for (const text of tokenizerText(new World(0))) console.log(JSON.stringify({ text }));
