import type { ComponentChildren } from "preact";

interface Props {
  id: string;
  children: ComponentChildren;
}

/** Something went wrong, said beside what it is about. */
export function Alert({ id, children }: Props) {
  return (
    <div class="alert" role="alert" data-testid={id}>
      {children}
    </div>
  );
}
