// How every widget starts: a root element, the shared session, and an end.
import type { AnyModel, Host, RenderProps } from "@anywidget/types";
import { h } from "./dom";
import { Session } from "./session";
import { onTheme, readTheme, type Theme } from "./theme";

export interface View<T extends object = object> {
  /** The widget's own traits. */
  model: AnyModel<T>;
  session: Session;
  /** Reaches other widgets. */
  host: Host;
  root: HTMLElement;
  /** Aborts when the view is closed: give it to every listener, observer and request. */
  signal: AbortSignal;
  /** The page's theme now. */
  theme(): Theme;
  /** Runs when the page turns dark or light. */
  onTheme(changed: () => void): void;
}

/** An anywidget module whose view is filled by `mount`. */
export function widget<T extends object>(name: string, label: string, mount: (view: View<T>) => void | Promise<void>) {
  return {
    async render({ model, el, signal, host }: RenderProps<T & { _session: string }>): Promise<void> {
      const root = h("div", { class: `gc gc-${name}`, role: "group", "aria-label": label, tabindex: 0 });
      root.setAttribute("data-lm-suppress-shortcuts", ""); // or JupyterLab takes keys such as the arrows first
      el.append(root);
      const session = new Session((await host.getModel(model.get("_session"))) as never, signal);
      let theme = readTheme(root);
      onTheme(signal, () => {
        theme = readTheme(root);
      });
      await mount({
        model: model as never,
        session,
        host,
        root,
        signal,
        theme: () => theme,
        onTheme: (changed) => onTheme(signal, changed),
      });
      signal.addEventListener("abort", () => root.remove());
    },
  };
}
