export * from './api.ts';
export * from './define.ts';
export * from './reducers.ts';
