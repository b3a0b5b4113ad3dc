# SPDX-License-Identifier: Apache-2.0
"""What the doctor found in files, as text, JSON, SARIF and an HTML page; no TensorFlow."""
