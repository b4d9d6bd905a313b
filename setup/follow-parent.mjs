// Loaded into a program that set-up handed over to: when the process that waits for it is gone, even by SIGKILL, the program
// gets SIGTERM and ends in its usual way. The variable is removed, so that the program's own children are not affected.
const parent = Number(process.env.TRELLIS_PARENT_PID);
delete process.env.TRELLIS_PARENT_PID;

if (parent > 0) {
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 500);
  watch.unref();
}
