/** Selects the environment variables that computing subprocesses get. Keys of external servers and other secrets stay out: the subprocesses
 *  run other people's models and data. */

/** For the system, the user and the network. */
const SYSTEM =
  'PATH HOME USER LOGNAME SHELL TERM TZ TMPDIR TMP TEMP LANG LANGUAGE LC_* XDG_* LD_* SSL_CERT_* REQUESTS_CA_BUNDLE CURL_CA_BUNDLE *_PROXY';
/** For Python, devices and numerical libraries. */
const COMPUTING =
  'PYTHON* VIRTUAL_ENV CONDA_* CUDA_* NVIDIA_* CUBLAS* CUDNN_* NCCL_* GLOO_* ROCR_* HIP_* HSA_* HF_* HUGGINGFACE_* TRANSFORMERS_* DATASETS_* TOKENIZERS_* ACCELERATE_* TORCH* PYTORCH_* TRITON_* VLLM_* FLASHINFER_* RAY_* ATEN_* ONEDNN_* DNNL_* MKL_* OMP_* KMP_* GOMP_* OPENBLAS_* NUMEXPR_* MALLOC_* SLURM_*';
const NEEDED = pattern(`${SYSTEM} ${COMPUTING} BACKSPIN_*`);
/** Never passed on, whatever the other patterns say. */
const SECRET = /KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL|TOKEN(?!IZERS)/i;

function pattern(names: string): RegExp {
  return new RegExp(`^(${names.replaceAll('*', String.raw`\w*`).replaceAll(' ', '|')})$`, 'i');
}

export const neededEnvironment = (all: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(all).filter(([name]) => NEEDED.test(name) && !SECRET.test(name)));

/** Of secrets, downloads from the Hugging Face Hub alone get its token. */
const HUB = /^(HF_TOKEN|HF_TOKEN_PATH|HUGGING_FACE_HUB_TOKEN)$/;

export const hubEnvironment = (all: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv => ({
  ...neededEnvironment(all),
  ...Object.fromEntries(Object.entries(all).filter(([name]) => HUB.test(name))),
});
