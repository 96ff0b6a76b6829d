"""Measurements: pure functions of tensors, each beside its declaration, and the tuple of all."""

from vitscope.measures.attention_distance import MEASURE as ATTENTION_DISTANCE
from vitscope.measures.attention_distance import attention_distance
from vitscope.measures.centred_token_similarity import MEASURE as CENTRED_TOKEN_SIMILARITY
from vitscope.measures.centred_token_similarity import centred_token_similarity
from vitscope.measures.depth_similarity import MEASURE as DEPTH_SIMILARITY
from vitscope.measures.depth_similarity import depth_similarity
from vitscope.measures.fourier_log_amplitude import MEASURE as FOURIER_LOG_AMPLITUDE
from vitscope.measures.fourier_log_amplitude import fourier_log_amplitude
from vitscope.measures.fourier_spectrum import MEASURE as FOURIER_SPECTRUM
from vitscope.measures.fourier_spectrum import fourier_spectrum
from vitscope.measures.key_entropy import MEASURE as KEY_ENTROPY
from vitscope.measures.key_entropy import key_entropy
from vitscope.measures.measure import Measure
from vitscope.measures.normalized_mutual_information import MEASURE as NORMALIZED_MUTUAL_INFORMATION
from vitscope.measures.normalized_mutual_information import normalized_mutual_information
from vitscope.measures.row_entropy import MEASURE as ROW_ENTROPY
from vitscope.measures.row_entropy import row_entropy
from vitscope.measures.token_similarity import MEASURE as TOKEN_SIMILARITY
from vitscope.measures.token_similarity import token_similarity

MEASURES = (
    ATTENTION_DISTANCE,
    NORMALIZED_MUTUAL_INFORMATION,
    ROW_ENTROPY,
    KEY_ENTROPY,
    TOKEN_SIMILARITY,
    CENTRED_TOKEN_SIMILARITY,
    DEPTH_SIMILARITY,
    FOURIER_LOG_AMPLITUDE,
    FOURIER_SPECTRUM,
)

__all__ = [
    "MEASURES",
    "Measure",
    "attention_distance",
    "centred_token_similarity",
    "depth_similarity",
    "fourier_log_amplitude",
    "fourier_spectrum",
    "key_entropy",
    "normalized_mutual_information",
    "row_entropy",
    "token_similarity",
]
