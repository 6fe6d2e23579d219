import "./style.css";
import { widget } from "../shared/widget";

export default widget("circuit", "Circuit graph", ({ root, session }) => {
  root.append(`${session.drawn.kept.length} nodes, ${session.drawn.edges} edges`);
});
