interface Props {
  /** Selects the CPU; null if it is already selected. */
  onCpu: (() => void) | null;
}

/** Advice if the browser offers no GPU. */
export function NoGpu({ onCpu }: Props) {
  const absent = !("gpu" in navigator);
  return (
    <div class="notice" role="status" data-testid="no-gpu">
      <p>
        <b>{absent ? "This browser has no WebGPU." : "This browser offers no usable GPU."}</b>{" "}
        {onCpu ? "You can continue on the CPU, which is slower." : "Training runs on the CPU, which is slower."}
      </p>
      {onCpu && (
        <button type="button" class="quiet" onClick={onCpu}>
          Use the CPU
        </button>
      )}
      <details>
        <summary>Browsers with WebGPU</summary>
        <ul>
          <li>Chrome and Edge from 113 on Windows, macOS and ChromeOS; Chrome from 121 on Android</li>
          <li>
            Chrome on Linux: set <code>chrome://flags/#enable-unsafe-webgpu</code>, and{" "}
            <code>chrome://flags/#enable-vulkan</code> if that is not enough
          </li>
          <li>Safari from 26 on macOS, iOS and iPadOS</li>
          <li>
            Firefox from 141 on Windows and from 145 on macOS with Apple silicon; elsewhere set{" "}
            <code>dom.webgpu.enabled</code> in <code>about:config</code>
          </li>
        </ul>
        <p>Hardware acceleration must be enabled in the browser’s settings.</p>
      </details>
    </div>
  );
}
