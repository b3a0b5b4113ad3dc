# SPDX-License-Identifier: Apache-2.0
"""Files of arrays with names, each format in a file."""
