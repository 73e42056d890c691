/** Lists backspin's own namespaces, each with the module that exports its operators. */
export const namespaces: { readonly [namespace: string]: () => Promise<object> } = {
  std: () => import('./std/index.ts'),
  humpback: () => import('./humpback/index.ts'),
  'back-and-forth': () => import('./back-and-forth/index.ts'),
  'cycle-instruct': () => import('./cycle-instruct/index.ts'),
  kun: () => import('./kun/index.ts'),
  linguist: () => import('./linguist/index.ts'),
  main: () => import('./main/index.ts'),
  musc: () => import('./musc/index.ts'),
  air: () => import('./air/index.ts'),
  'self-lengthen': () => import('./self-lengthen/index.ts'),
  tegit: () => import('./tegit/index.ts'),
  crab: () => import('./crab/index.ts'),
  eval: () => import('./eval/index.ts'),
};
