import "./style.css";
import { widget } from "../shared/widget";

export default widget("card", "Feature card", ({ root, session }) => {
  root.append(`${session.nodes.count} nodes`);
});
