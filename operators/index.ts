/** The spaces that come with backspin. */
export const spaces: { readonly [space: string]: () => Promise<object> } = {
  std: () => import('./std/index.ts'),
  humpback: () => import('./humpback/index.ts'),
  main: () => import('./main/index.ts'),
};
