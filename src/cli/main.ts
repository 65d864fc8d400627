import { enableCompileCacheSafely } from './compile-cache.ts';

// Modules imported statically are compiled before the first line runs, so everything else is imported here.
enableCompileCacheSafely();
const { runProcess } = await import('./run-process.ts');
await runProcess();
