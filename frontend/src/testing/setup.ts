class Quiet {
  observe() {}
  unobserve() {}
  disconnect() {}
}
globalThis.ResizeObserver = Quiet as unknown as typeof ResizeObserver;
window.matchMedia = ((query: string) => ({ matches: false, media: query, addEventListener: () => undefined, removeEventListener: () => undefined, addListener: () => undefined, removeListener: () => undefined, onchange: null, dispatchEvent: () => false })) as typeof window.matchMedia;
