/** How the trainer package is started. */

/** The environment in which Python finds the package, and takes nothing from the folder that it is started in: a user's `random.py`, say. */
export const trainerEnvironment = (trainerPath: string) => ({ PYTHONPATH: trainerPath, PYTHONSAFEPATH: '1' });
