import type { Job, JobEvent, Method, Training } from "./protocol.js";
import { methodNames } from "./settings.js";

function started({ type: _, ...event }: JobEvent & { type: "training" }, before?: Training): Training {
  return {
    ...event,
    step: event.losses.length,
    epoch: before?.epoch ?? 0,
    tokensPerSecond: 0,
    seconds: event.losses.length > 0 ? (before?.seconds ?? 0) : 0,
    finished: false,
    front: null,
  };
}

function activity(what: string, { method, done, total }: { method: Method; done: number; total: number }) {
  return { text: `${what} ${methodNames[method]}`, done, total };
}

/** Returns the job after an event. Worker and page both use it, so stored and shown jobs agree. */
export function applyEvent(job: Job, event: JobEvent): Job {
  const change = (method: Method, change: (training: Training) => Partial<Training>): Job => ({
    ...job,
    trainings: job.trainings.map((training) =>
      training.method === method ? { ...training, ...change(training) } : training,
    ),
  });
  switch (event.type) {
    case "state":
      return {
        ...job,
        state: event.state,
        message: event.message,
        activity: event.state === "running" || event.state === "paused" ? job.activity : null,
      };
    case "training": {
      const before = job.trainings.find((training) => training.method === event.method);
      const others = job.trainings.filter((training) => training !== before);
      return { ...job, trainings: [...others, started(event, before)] };
    }
    case "evaluating": {
      const text =
        event.moment === "before"
          ? "evaluating the untouched model"
          : `evaluating ${event.moment} ${methodNames[event.method]}`;
      return { ...job, activity: { text, done: event.done, total: event.total } };
    }
    case "evaluated":
      return change(event.method, (training) => ({
        evaluations: [...training.evaluations, event.evaluation],
      }));
    case "step": {
      const next = change(event.method, (training) => ({
        step: event.step,
        epoch: event.epoch,
        losses: [...training.losses, event.loss],
        tokensPerSecond: event.tokensPerSecond,
        seconds: event.seconds,
      }));
      const steps = job.trainings.find((training) => training.method === event.method)?.steps ?? 0;
      return {
        ...next,
        activity: { text: methodNames[event.method], done: event.step, total: steps },
        secondsLeft: event.secondsLeft,
      };
    }
    case "continuation":
      return change(event.method, (training) => ({
        continuations: [...training.continuations, event.continuation],
      }));
    case "checkpoint":
      return { ...change(event.method, () => ({ checkpoint: event.step })), bytes: event.bytes };
    case "generating":
      return { ...job, activity: activity("generating general text for", event) };
    case "weighing":
      return { ...job, activity: activity("weighing samples for", event) };
    case "consolidating":
      return { ...job, activity: activity("estimating the importance of weights for", event) };
    case "measuringFront":
      return { ...job, activity: activity("measuring the strengths of", event) };
    case "front":
      return change(event.method, () => ({ front: event.front }));
    case "trained": {
      const { bytes, checkpoint } = event;
      return { ...change(event.method, () => ({ finished: true, checkpoint })), bytes };
    }
  }
}
