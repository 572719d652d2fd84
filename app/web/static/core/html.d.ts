// The types of html.js. Preact's own are not in the repository: components are checked by their JSDoc, templates are not.

export interface Signal<T> {
  value: T;
  peek(): T;
  subscribe(listener: (value: T) => void): () => void;
}
export interface Reading<T> {
  readonly value: T;
  peek(): T;
}
export interface Ref<T> {
  current: T;
}
export type Cleanup = void | undefined | (() => void);

export interface Context<T> {
  Provider: (props: { value: T; children?: any }) => any;
}

export function createContext<T>(without: T): Context<T>;
export function render(element: unknown, into: Element): void;
export function html(strings: TemplateStringsArray, ...values: unknown[]): any;

export function useState<T>(first: T | (() => T)): [T, (next: T | ((now: T) => T)) => void];
export function useContext<T>(context: Context<T>): T;
export function useRef<T>(first: T): Ref<T>;
export function useId(): string;
export function useMemo<T>(make: () => T, on: readonly unknown[]): T;
export function useCallback<T extends (...given: any[]) => unknown>(call: T, on: readonly unknown[]): T;
export function useEffect(act: () => Cleanup, on?: readonly unknown[]): void;
export function useLayoutEffect(act: () => Cleanup, on?: readonly unknown[]): void;

export function signal<T>(first: T, calls?: { watched?: () => void; unwatched?: () => void }): Signal<T>;
export function computed<T>(make: () => T): Reading<T>;
export function effect(act: () => Cleanup): () => void;
export function batch<T>(act: () => T): T;
