// Colours and fonts of the page that the widget lives in: JupyterLab's variables, or the system's taste elsewhere.

export interface Theme {
  dark: boolean;
  paper: string;
  raised: string;
  ink: string;
  muted: string;
  line: string;
  accent: string;
  font: string;
  mono: string;
}

const LIGHT = {
  paper: "#ffffff",
  raised: "#f4f5f7",
  ink: "#1f2328",
  muted: "#5c6370",
  line: "#d5d8dd",
  accent: "#0b6bcb",
};
const DARK = {
  paper: "#16181c",
  raised: "#23262b",
  ink: "#e6e6e6",
  muted: "#a3a9b2",
  line: "#43474e",
  accent: "#6cb2ff",
};

function isDark(): boolean {
  const { jpThemeLight } = document.body.dataset;
  if (jpThemeLight !== undefined) return jpThemeLight === "false";
  if (document.body.classList.contains("vscode-dark")) return true;
  if (document.body.classList.contains("vscode-light")) return false;
  if (document.documentElement.getAttribute("theme") === "dark") return true; // Colab
  return globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false;
}

/** The page's theme, as a canvas needs it. */
export function readTheme(element: Element): Theme {
  const dark = isDark();
  const own = dark ? DARK : LIGHT;
  const style = getComputedStyle(element);
  const variable = (name: string, otherwise: string) => style.getPropertyValue(name).trim() || otherwise;
  return {
    dark,
    paper: variable("--jp-layout-color1", own.paper),
    raised: variable("--jp-layout-color2", own.raised),
    ink: variable("--jp-ui-font-color0", own.ink),
    muted: variable("--jp-ui-font-color2", own.muted),
    line: variable("--jp-border-color2", own.line),
    accent: own.accent,
    font: variable("--jp-ui-font-family", "system-ui, -apple-system, 'Segoe UI', Arial, sans-serif"),
    mono: variable("--jp-code-font-family", "ui-monospace, Menlo, Consolas, monospace"),
  };
}

/** Calls `changed` when the page turns dark or light. */
export function onTheme(signal: AbortSignal, changed: () => void): void {
  let dark = isDark();
  const look = () => {
    // JupyterLab flips the attribute before its style sheet is in force.
    if (isDark() !== dark) {
      dark = isDark();
      for (const wait of [0, 150, 600]) setTimeout(() => signal.aborted || changed(), wait);
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", look, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
}
