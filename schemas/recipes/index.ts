import type { RecipeSchema } from '../config.ts';
import { humpback } from './humpback.ts';
import { main } from './main.ts';
import { pretrain } from './pretrain.ts';

export const recipeSchemas: Record<string, RecipeSchema> = { humpback, main, pretrain };
