// Bundles each widget into one ES module and one style sheet, which the Python twin hands to the page.
import { build, context } from "esbuild";

const options = {
  entryPoints: ["heatmap", "circuit", "card", "interventions", "workbench", "page"].map((name) => ({
    in: `src/${name}/index.ts`,
    out: name,
  })),
  outdir: "../gemma_circuits/ui/static",
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  await build(options);
}
