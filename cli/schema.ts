/** `backspin schema`: prints the JSON Schema of experiment files, with the parameters of each recipe. */
import { z } from 'zod';
import { describeAliases } from '../schemas/aliases.ts';
import { experimentFile } from '../schemas/file.ts';
import { recipeSchemas } from '../schemas/recipes/index.ts';
import { printJson } from './terminal/text.ts';

export async function run(): Promise<void> {
  printJson(fileSchema());
}

export function fileSchema(): object {
  return {
    ...jsonSchema(experimentFile),
    allOf: Object.entries(recipeSchemas).map(([recipe, { parameters }]) => ({
      if: { properties: { recipe: { const: recipe } }, required: ['recipe'] },
      // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
      then: { properties: { parameters: { ...jsonSchema(parameters), $schema: undefined } } },
    })),
  };
}
const jsonSchema = (schema: z.ZodType) =>
  z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-2020-12',
    unrepresentable: 'any',
    override: ({ jsonSchema: made }) => describeAliases(made),
  });
