import type { RecipeSchema } from '../config.ts';
import { humpback } from './humpback.ts';
import { pretrain } from './pretrain.ts';

export const recipeSchemas: Record<string, RecipeSchema> = { humpback, pretrain };
