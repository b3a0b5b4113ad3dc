# SPDX-License-Identifier: Apache-2.0
"""The population's statistics for the layers of any graph, measured over many batches."""
