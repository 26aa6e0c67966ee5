import "./alert.css";
import type { ComponentChildren } from "preact";

interface Props {
  id: string;
  children: ComponentChildren;
}

/** An error message. */
export function Alert({ id, children }: Props) {
  return (
    <div class="alert" role="alert" data-testid={id}>
      {children}
    </div>
  );
}
