/** Checks the names in a Jinja template against an example of its variables, which the Jinja of chat templates does not: there a wrong name
 *  prints nothing. */
import type { Template } from '@huggingface/jinja';

/** A value that the check does not know. */
const ANY: unique symbol = Symbol('any');
type Shape = unknown;

interface Node {
  readonly type: string;
}
type Statement = Node & Readonly<Record<string, unknown>>;

/** Names that every template has. */
const GLOBALS = [
  'namespace',
  'range',
  'strftime_now',
  'raise_exception',
  'loop',
  'caller',
  'true',
  'false',
  'none',
  'True',
  'False',
  'None',
];
/** Methods of objects. */
const METHODS = ['items', 'keys', 'values', 'get'];

class Scope {
  readonly #own = new Map<string, Shape>();
  readonly #outer: Scope | undefined;
  constructor(entries: Iterable<readonly [string, Shape]>, outer?: Scope) {
    for (const [name, shape] of entries) this.#own.set(name, shape);
    this.#outer = outer;
  }
  set(name: string, shape: Shape): void {
    this.#own.set(name, shape);
  }
  has(name: string): boolean {
    return this.#own.has(name) || (this.#outer?.has(name) ?? false);
  }
  get(name: string): Shape {
    return this.#own.has(name) ? this.#own.get(name) : this.#outer?.get(name);
  }
}

/** Throws for a variable that is not in the example, and for a field that its objects do not have. `own`: further names. */
export function checkNames({ parsed }: Template, example: object, own: readonly string[] = []): void {
  const names = Object.keys(example);
  const scope = new Scope([...[...GLOBALS, ...own].map((name) => [name, ANY] as const), ...Object.entries(example)]);
  visitAll((parsed as unknown as { body: Statement[] }).body, scope, names);
}

const isNode = (value: unknown): value is Statement =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Node>).type === 'string';

function visitAll(nodes: unknown, scope: Scope, names: readonly string[]): void {
  for (const node of nodes instanceof Map ? [...nodes].flat() : Array.isArray(nodes) ? nodes : [nodes])
    if (isNode(node)) visit(node, scope, names);
}

/** What the expression is in the example. */
function visit(node: Statement, scope: Scope, names: readonly string[]): Shape {
  const at = (key: string) => node[key] as Statement;
  switch (node.type) {
    case 'Identifier': {
      const name = node['value'] as string;
      if (!scope.has(name)) throw new Error(`there is no variable "${name}"; the prompt has ${names.join(', ')}`);
      return scope.get(name);
    }
    case 'MemberExpression':
      return fieldOf(visit(at('object'), scope, names), node, scope, names);
    case 'Set': {
      const shape = node['value'] === null ? ANY : visit(at('value'), scope, names);
      visitAll(node['body'], scope, names);
      bind(at('assignee'), shape, scope);
      return ANY;
    }
    case 'For': {
      const iterable = at('iterable');
      const of = iterable.type === 'SelectExpression' ? (iterable['lhs'] as Statement) : iterable;
      const items = visit(of, scope, names);
      const inner = new Scope([], scope);
      bind(at('loopvar'), Array.isArray(items) && items.length > 0 ? (items[0] as Shape) : ANY, inner);
      if (of !== iterable) visitAll(iterable['test'], inner, names);
      visitAll(node['body'], inner, names);
      visitAll(node['defaultBlock'], scope, names);
      return ANY;
    }
    case 'Macro': {
      bind(at('name'), ANY, scope);
      visitAll(node['body'], new Scope(parametersIn(node['args']), scope), names);
      return ANY;
    }
    case 'CallStatement':
      visitAll(node['call'], scope, names);
      visitAll(node['body'], new Scope(parametersIn(node['callerArgs'] ?? []), scope), names);
      return ANY;
    case 'FilterExpression':
    case 'FilterStatement':
      if (!(isDefault(node['filter']) && at('operand').type === 'Identifier')) visitAll(node['operand'], scope, names);
      visitAll((node['filter'] as Statement)['args'], scope, names);
      visitAll(node['body'], scope, names);
      return ANY;
    case 'TestExpression':
      if (!/^(un)?defined$/.test(String(at('test')['value']))) visitAll(node['operand'], scope, names);
      return ANY;
    case 'KeywordArgumentExpression':
      return visit(at('value'), scope, names);
    default:
      for (const inner of Object.values(node)) visitAll(inner, scope, names);
      return ANY;
  }
}

const isDefault = (filter: unknown): boolean => {
  const named = isNode(filter) && filter.type === 'CallExpression' ? filter['callee'] : filter;
  return isNode(named) && named['value'] === 'default';
};

function fieldOf(of: Shape, node: Statement, scope: Scope, names: readonly string[]): Shape {
  const property = node['property'] as Statement;
  if (node['computed'] && property.type !== 'StringLiteral') {
    visitAll(property, scope, names);
    return Array.isArray(of) && of.length > 0 ? of[0] : ANY;
  }
  const key = String(property['value']);
  if (typeof of !== 'object' || of === null || Array.isArray(of)) return ANY;
  if (key in of) return (of as Record<string, Shape>)[key];
  if (METHODS.includes(key)) return ANY;
  throw new Error(`there is no field "${key}"; there are ${Object.keys(of).join(', ')}`);
}

function bind(target: Statement, shape: Shape, scope: Scope): void {
  if (target.type === 'Identifier') scope.set(target['value'] as string, shape);
  else if (target.type === 'TupleLiteral') for (const one of target['value'] as Statement[]) bind(one, ANY, scope);
}

/** Names of a macro's parameters. */
const parametersIn = (args: unknown): [string, Shape][] =>
  (args as Statement[]).map((one) => [String((one.type === 'Identifier' ? one : (one['key'] as Statement))['value']), ANY]);
