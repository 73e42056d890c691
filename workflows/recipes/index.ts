import { air } from './air.ts';
import { backAndForth } from './back-and-forth.ts';
import { crab } from './crab.ts';
import { cycleInstruct } from './cycle-instruct.ts';
import { humpback } from './humpback.ts';
import { kun } from './kun.ts';
import { linguist } from './linguist.ts';
import { main } from './main.ts';
import { musc } from './musc.ts';
import { pretrain } from './pretrain.ts';
import { selfLengthen } from './self-lengthen.ts';
import { tegit } from './tegit.ts';
import { trial } from './trial.ts';

/** By the name in an experiment file. What a recipe is called with was checked by its schema. */
export const recipes: Readonly<Record<string, (run: never, config: never) => Promise<object>>> = {
  air,
  'back-and-forth': backAndForth,
  crab,
  'cycle-instruct': cycleInstruct,
  humpback,
  kun,
  linguist,
  main,
  musc,
  pretrain,
  'self-lengthen': selfLengthen,
  tegit,
  trial, // no experiment file can name it
};
