import "./style.css";
import { widget } from "../shared/widget";

export default widget("heatmap", "Token by feature heatmap", ({ root, session }) => {
  root.append(`${session.nodes.count} nodes`);
});
