/** What subprocesses that compute get of this process's environment. Keys of external servers, and of whatever else a user has, are not
 *  among it: models and data of strangers are at work there. */

/** The system, the user, and how to reach other machines. */
const SYSTEM =
  'PATH HOME USER LOGNAME SHELL TERM TZ TMPDIR TMP TEMP LANG LANGUAGE LC_* XDG_* LD_* SSL_CERT_* REQUESTS_CA_BUNDLE CURL_CA_BUNDLE *_PROXY';
/** Python, devices, libraries that compute, and what they compute with. */
const COMPUTING =
  'PYTHON* VIRTUAL_ENV CONDA_* CUDA_* NVIDIA_* CUBLAS* CUDNN_* NCCL_* GLOO_* ROCR_* HIP_* HSA_* HF_* HUGGINGFACE_* TRANSFORMERS_* DATASETS_* TOKENIZERS_* ACCELERATE_* TORCH* PYTORCH_* TRITON_* VLLM_* FLASHINFER_* RAY_* ATEN_* ONEDNN_* DNNL_* MKL_* OMP_* KMP_* GOMP_* OPENBLAS_* NUMEXPR_* MALLOC_* SLURM_*';
const NEEDED = pattern(`${SYSTEM} ${COMPUTING} BACKSPIN_*`);
/** Whatever else a name says. */
const SECRET = /KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL|TOKEN(?!IZERS)/i;

function pattern(names: string): RegExp {
  return new RegExp(`^(${names.replaceAll('*', String.raw`\w*`).replaceAll(' ', '|')})$`, 'i');
}

export const neededEnvironment = (all: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(all).filter(([name]) => NEEDED.test(name) && !SECRET.test(name)));
